//! What every bench here needs: spreads and verdicts, fair order, a table for people, JSON for machines.

pub mod json;
pub mod rounds;
pub mod stats;
pub mod table;
