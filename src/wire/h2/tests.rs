//! x
use super::*;
#[test]
fn sizes() {
    println!(
        "Exchange {} Decoder {} error {} head {}",
        size_of::<Exchange>(),
        size_of::<crate::wire::hpack::Decoder>(),
        size_of::<H2Error>(),
        size_of::<H2Head>()
    );
    println!("mem {}", H2_BYTES);
    println!("health {}", size_of::<crate::wire::health::HealthReader>());
}
