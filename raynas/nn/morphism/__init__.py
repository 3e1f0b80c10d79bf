"""Net2Net morphisms, inheritance of weights, and the channel groups behind them."""
