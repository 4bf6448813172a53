"""Predicts what a model would reach on a dataset from the zoo's graph.

Several rankers with one interface, `predict(graph, targets) -> Prediction`: a graph network (`predictor`), a linear
mixed model (`mixed`) and TransferGraph's recipe (`transfergraph`). The modules are imported by name: most load torch.
"""
