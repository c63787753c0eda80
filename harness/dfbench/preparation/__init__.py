"""``dfbench data prepare --root``: a corpus in its official layout becomes a folder of face crops with a manifest.

One job is one video, or 64 images: frames, faces, the track of the main face, crops, one shard. Jobs run in worker
processes, each job's result appears whole or not at all, and the manifest is assembled from them at the end.
"""
