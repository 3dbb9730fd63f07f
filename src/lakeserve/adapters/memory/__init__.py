"""The ports without any process, file or socket behind them: stores that live as long as the object, and parts of the controller
that do as they are told, for trying out decisions in any order and in no time."""
