"""A tabular benchmark of search: trainings of the embedded demo, recorded once and replayed in no time."""
