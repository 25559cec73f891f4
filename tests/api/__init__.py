"""The HTTP face over a scripted pool: real uvicorn, real clients, no browser."""
