"""NavPlane: an AI gateway and control plane that runs in its owner's AWS account."""

__version__ = "0.1.0"
