"""`ops reconcile`: the proof. It counts what is on disk by itself, and has the workers say where each output stands."""
