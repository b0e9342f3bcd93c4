//! Numbers as people write them.

/// Thousands apart.
pub(crate) fn whole(number: u32) -> String {
    apart(&number.to_string())
}

/// Digits, with a sign in front or without, thousands apart.
pub(crate) fn apart(digits: &str) -> String {
    let (sign, digits) = digits.strip_prefix('-').map_or(("", digits), |digits| ("-", digits));
    let mut text = sign.to_owned();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
