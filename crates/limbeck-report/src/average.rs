/// The mean of scores as a table prints them, on the table's own scale; `None` of none.
///
/// Published averages are means of the printed numbers, so they can be recomputed. The numbers have at most
/// `decimals` places and are summed as whole multiples of the last one: the mean is not moved by binary fractions,
/// which would decide at random how a half is rounded.
pub fn average_of_printed(scores: &[f64], decimals: u32) -> Option<f64> {
    if scores.is_empty() {
        return None;
    }
    let unit = 10f64.powi(decimals as i32);
    let sum: f64 = scores.iter().map(|score| (score * unit).round()).sum();
    Some(sum / scores.len() as f64 / unit)
}

/// A score with `decimals` places; a half is rounded away from zero, as in printed tables.
pub fn as_printed(score: f64, decimals: u32) -> String {
    let unit = 10f64.powi(decimals as i32);
    // Twelve digits are more than any table's and fewer than a double's, so that 0.25 stored as 0.24999.. is a half.
    let steps = format!("{:.12e}", score * unit);
    let steps: f64 = steps.parse().unwrap_or(score * unit);
    format!("{:.*}", decimals as usize, steps.round() / unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halves_are_rounded_away_from_zero() {
        let check = |scores: &[f64], expected: &str| {
            let mean = average_of_printed(scores, 1).unwrap();
            assert_eq!(as_printed(mean, 1), expected, "{scores:?}");
        };
        check(&[0.2, 0.3], "0.3");
        check(&[1.1, 1.2], "1.2");
        check(&[-0.2, -0.3], "-0.3");
        check(&[88.9], "88.9");
        check(&[66.0, 66.0, 66.1], "66.0");
        assert_eq!(average_of_printed(&[], 1), None);
    }
}
