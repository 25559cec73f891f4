"""What a chat is: requests, turns, events, prompts, model names. Pure data and plain functions."""
