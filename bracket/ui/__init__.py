"""The app: one Gradio page with a file per tab. It reads and starts sessions; it never runs one itself."""
