/// Distinct strings, numbered from 0 in the order of their arrival, in one block of memory.
#[derive(Debug, Clone, Default)]
pub(crate) struct StringTable {
    text: String,
    /// Where each string ends in `text`.
    ends: Vec<u32>,
    /// Open addressing: number + 1, 0 where free. The length is 0 or a power of two, at least half of it free.
    slots: Vec<u32>,
}

impl StringTable {
    /// The number of `string`, a new one where it is new.
    pub(crate) fn insert(&mut self, string: &str) -> u32 {
        if self.slots.len() < 2 * (self.ends.len() + 1) {
            self.grow();
        }
        match self.find(string) {
            Ok(number) => number,
            Err(slot) => {
                let number = self.ends.len() as u32;
                self.text.push_str(string);
                let end = u32::try_from(self.text.len()).expect("word files hold less than 4 GB");
                self.ends.push(end);
                self.slots[slot] = number + 1;
                number
            }
        }
    }

    /// The number of `string`; `None` where it is not there.
    pub(crate) fn get(&self, string: &str) -> Option<u32> {
        if self.slots.is_empty() {
            return None;
        }
        self.find(string).ok()
    }

    /// The string with this number.
    pub(crate) fn string(&self, number: u32) -> &str {
        let number = number as usize;
        let start = number
            .checked_sub(1)
            .map_or(0, |before| self.ends[before] as usize);
        &self.text[start..self.ends[number] as usize]
    }

    /// How many strings there are.
    pub(crate) fn len(&self) -> usize {
        self.ends.len()
    }

    /// The number of `string`, or the free slot where it would go.
    fn find(&self, string: &str) -> Result<u32, usize> {
        let mask = self.slots.len() - 1;
        let mut slot = hash(string) as usize & mask;
        loop {
            match self.slots[slot] {
                0 => return Err(slot),
                number if self.string(number - 1) == string => return Ok(number - 1),
                _ => slot = (slot + 1) & mask,
            }
        }
    }

    fn grow(&mut self) {
        self.slots = vec![0; (self.slots.len() * 2).max(16)];
        let mask = self.slots.len() - 1;
        for number in 0..self.ends.len() as u32 {
            let mut slot = hash(self.string(number)) as usize & mask;
            while self.slots[slot] != 0 {
                slot = (slot + 1) & mask;
            }
            self.slots[slot] = number + 1;
        }
    }
}

/// Eight bytes at a time, multiplied and folded; no secret, since the tables are made from files of the user's own.
fn hash(string: &str) -> u64 {
    string.as_bytes().chunks(8).fold(0, |state, chunk| {
        let mut word = [0; 8];
        word[..chunk.len()].copy_from_slice(chunk);
        fold(state ^ u64::from_le_bytes(word) ^ ((chunk.len() as u64) << 59))
    })
}

fn fold(value: u64) -> u64 {
    // Digits of π, odd.
    let product = u128::from(value ^ 0x243f_6a88_85a3_08d3) * 0x1319_8a2e_0370_7345;
    (product as u64) ^ ((product >> 64) as u64)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn strings_keep_their_numbers(strings in prop::collection::vec(".{0,12}", 0..80)) {
            let mut table = StringTable::default();
            let numbers: Vec<u32> = strings.iter().map(|string| table.insert(string)).collect();
            for (string, number) in strings.iter().zip(numbers) {
                prop_assert_eq!(table.get(string), Some(number));
                prop_assert_eq!(table.string(number), string);
            }
            let distinct: std::collections::BTreeSet<_> = strings.iter().collect();
            prop_assert_eq!(table.len(), distinct.len());
            prop_assert_eq!(table.get("longer than any of those"), None);
        }
    }
}
