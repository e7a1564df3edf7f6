"""The design bench in JupyterLab; sits on `model`."""
