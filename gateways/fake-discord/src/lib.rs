//! Discord at protocol level: the stand-in of the demo and of the tests.
