//! The virtual network in which dunlin is tested.
