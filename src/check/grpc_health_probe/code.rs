//! The exit codes of grpc_health_probe.

/// An argument is not valid.
pub const ARGUMENTS: u8 = 1;
/// The connection failed, or took too long.
pub const CONNECTION: u8 = 2;
/// The call failed, or took too long.
pub const CALL: u8 = 3;
/// The service is not serving.
pub const UNHEALTHY: u8 = 4;
/// No credentials of the SPIFFE Workload API.
pub const SPIFFE: u8 = 20;
