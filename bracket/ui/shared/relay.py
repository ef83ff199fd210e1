"""Events that several handlers listen to, made safe from a loop of Gradio's.

A handler with `always_last` that is asked again while it runs makes Gradio send the whole event once more when it is
done: to every handler of that event, which are asked again while they run in their turn. Two such handlers of one
event so keep each other going for ever, also on a page where nothing happens. It also has one handler wait for the
other. Through a relay of its own each hears the event at once, and what is sent again reaches it alone.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import gradio as gr

_DEBOUNCE = """(...values) => new Promise((go, drop) => {
    const all = (window.bracketTyping ??= {}), mine = (all.HANDLER = (all.HANDLER ?? 0) + 1);
    setTimeout(() => (mine === all.HANDLER ? go(values) : drop()), 350);
})"""
TYPED: dict[str, Any] = {
    "api_visibility": "private", "show_progress": "hidden", "trigger_mode": "always_last", "js": _DEBOUNCE,
}  # fmt: skip
"""For a handler of what is typed: it waits until typing pauses, and only the newest text is sent."""


def relayed(blocks: gr.Blocks) -> None:
    """Has every `always_last` handler that shares an event hear it through a relay of its own, and each that waits for
    typing to pause count its own; within the blocks, which cost much to open again."""
    handlers = list(blocks.fns.values())
    shared = Counter(target for handler in handlers for target in handler.targets)
    for handler in handlers:
        if handler.js == _DEBOUNCE:
            handler.js = _DEBOUNCE.replace("HANDLER", f"h{handler._id}")
        if handler.trigger_mode != "always_last" or all(shared[target] == 1 for target in handler.targets):
            continue
        triggers = [getattr(blocks.blocks.get(number, blocks), name) for number, name in handler.targets]
        relay = gr.on(
            triggers, None, js="() => []", trigger_mode="multiple", show_progress="hidden", api_visibility="private"
        )
        handler.trigger_after, handler.targets = relay["id"], [(None, "then")]
