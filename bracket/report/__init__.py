"""The report: Markdown, HTML, figures and the certificate, all from one `Summary`."""
