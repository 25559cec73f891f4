"""Whether the pool holds under load, faults and time: shared by `scripts/endure` and this folder's short tests.

Everything runs against a real `relay serve` over HTTP, with many accounts at the demo site, at the Kimi replica and at
a real Gradio app. Only public faces are used: the HTTP API, `/health`, signals and the process tree.
"""
