"""The main job, shown and proved: a student's answer, watched live by a supervisor, then paid."""
