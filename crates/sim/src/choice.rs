//! What a seed prefers to do, and what it does next.

use opof_dataplane::Dice;

/// How often each is done beside the others: as it is by itself, times what the seed prefers; never not at all where it `is_needed`.
pub(crate) fn prefer<T: Copy>(dice: &mut Dice, often: &[(T, u32)], is_needed: impl Fn(T) -> bool) -> Vec<(T, u32)> {
    let prefer = |(what, often): &(T, u32)| {
        let factor = [0, 1, 1, 1, 1, 2, 4][dice.below(7)];
        (*what, often * if is_needed(*what) { factor.max(1) } else { factor })
    };
    often.iter().map(prefer).collect()
}

/// The next one; `None` when nothing is ever done.
pub(crate) fn choose<T: Copy>(dice: &mut Dice, often: &[(T, u32)]) -> Option<T> {
    let mut remaining = dice.below_u32(often.iter().map(|(_, often)| often).sum());
    let chosen = often.iter().find(|(_, often)| {
        let is = remaining < *often;
        remaining = remaining.saturating_sub(*often);
        is
    });
    chosen.map(|(what, _)| *what)
}
