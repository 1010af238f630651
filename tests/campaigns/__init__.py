"""Generated campaigns: random models, made and trained by the real libraries, beside what Halfstep says and does."""
