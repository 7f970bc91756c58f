"""Train, compress and judge generators of the fast tier."""

import lipserve_export  # noqa: F401  (first: it keeps ONNX Runtime from reporting what it runs)
