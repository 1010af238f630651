"""What makes a training run go, stop and come back: specs, jobs, the slice runner, the queue and the reaper."""
