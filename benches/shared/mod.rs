//! What the benches share: spreads and verdicts, the order of contestants, tables, JSON.

pub mod json;
pub mod rounds;
pub mod stats;
pub mod table;
