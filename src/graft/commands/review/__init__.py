"""Labels worth a second look: those that models which never saw them contradict, as a page, a table and a choice."""
