//! No packet leaves this machine: the program serves its demo and does its main job in a network namespace that has a
//! loopback interface and nothing else, not even a route.
