"""The mathematics: features, bandits and the draw. NumPy in, NumPy out; no engine, no orchestrator."""
