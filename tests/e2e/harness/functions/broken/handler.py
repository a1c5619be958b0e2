raise RuntimeError("can't be imported")
