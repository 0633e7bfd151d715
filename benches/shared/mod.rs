//! What the benches share: spreads and verdicts, the order of contestants, tables, charts, JSON.

pub mod chart;
pub mod json;
pub mod rounds;
pub mod stats;
pub mod table;
