"""`python -m navplane_runtime`, which is what the exec wrapper starts."""

import sys

from navplane_runtime.main import main

sys.exit(main())
