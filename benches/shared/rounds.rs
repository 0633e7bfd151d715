//! The order in which a round visits its contestants.

/// Indices of `contestants` in the order of this round: everybody once, the start moves on by one
/// each two rounds, and every other round runs backwards, so that no contestant always follows the same one.
pub fn order(round: usize, contestants: usize) -> Vec<usize> {
    let start = round / 2;
    let mut order: Vec<usize> = (0..contestants)
        .map(|place| (start + place) % contestants)
        .collect();
    if round % 2 == 1 {
        order.reverse();
    }
    order
}
