"""Models that learn numbers from features and graphs, shared by strategies and by predictors of costs."""
