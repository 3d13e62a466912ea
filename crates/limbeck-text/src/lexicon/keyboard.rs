const QWERTY: &str = include_str!("lists/qwerty.txt");

/// The keys next to `letter` on a QWERTY keyboard as Pruthi et al. (2019) take them, upper-case for an upper-case letter.
///
/// None for what is not one of the 26 letters; a character whose lower case is one of them, such as the kelvin sign, counts as it.
pub fn adjacent_keys(letter: char) -> impl Iterator<Item = char> {
    let mut lower = letter.to_lowercase();
    let key = lower.next().filter(|_| lower.next().is_none());
    let line = QWERTY
        .lines()
        .find(|line| line.chars().next() == key && key.is_some());
    let keys = line.map_or("", |line| &line[2..]);
    keys.chars().map(move |key| {
        if letter.is_uppercase() {
            key.to_ascii_uppercase()
        } else {
            key
        }
    })
}
