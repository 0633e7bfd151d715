//! The order in which a round visits its contestants.

/// The indices of `contestants` in the order of this round. The start advances by one every two rounds and every other
/// round is reversed, so that no contestant always follows the same one.
pub fn order(round: usize, contestants: usize) -> Vec<usize> {
    let start = round / 2;
    let mut order: Vec<usize> = (0..contestants)
        .map(|index| (start + index) % contestants)
        .collect();
    if round % 2 == 1 {
        order.reverse();
    }
    order
}
