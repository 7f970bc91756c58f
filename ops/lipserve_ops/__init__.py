"""The operator's tool: show and change a release of LipServe on its Kubernetes cluster."""
