//! client
#![allow(missing_docs)]
pub struct Client;
pub struct Config;
pub enum Event {}
pub enum Failure {}
pub struct Stats;
