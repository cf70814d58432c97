/// SplitMix64: numbers that look random and follow from the seed alone. Not for secrets.
#[derive(Clone, Debug)]
pub(crate) struct Rng(u64);

impl Rng {
    pub(crate) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) const fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    /// A number from 0 to `most`, each as likely as the others to within 1 in 2⁶⁴ `most`.
    pub(crate) fn up_to(&mut self, most: u64) -> u64 {
        let scaled = u128::from(self.next()) * (u128::from(most) + 1);
        u64::try_from(scaled >> 64).unwrap_or(most)
    }
}

#[cfg(test)]
mod tests {
    use super::Rng;

    #[test]
    fn the_numbers_are_those_of_the_published_generator() {
        let mut rng = Rng::new(1_234_567);
        assert_eq!(rng.next(), 6_457_827_717_110_365_317);
        assert_eq!(rng.next(), 3_203_168_211_198_807_973);
    }

    #[test]
    fn both_ends_of_a_range_come_up() {
        let mut rng = Rng::new(0);
        let mut seen = [false; 3];
        for _ in 0..100 {
            seen[usize::try_from(rng.up_to(2)).unwrap()] = true;
        }
        assert_eq!(seen, [true; 3]);
        assert_eq!(rng.up_to(0), 0);
    }
}
