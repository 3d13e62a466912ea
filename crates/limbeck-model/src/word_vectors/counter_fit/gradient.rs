//! The objective's gradient with respect to one word.

use super::super::nearest::dot;
use super::CounterFitConfig;
use super::relations::Relations;

/// Writes `∂C/∂u` of a word into `gradient`, adds its terms to `loss`, and returns how many are active.
///
/// All vectors have length 1, where `∂d(u, v)/∂u = u (u · v) - v`.
pub(super) fn word_gradient(
    vectors: &[f32],
    word: usize,
    relations: &Relations,
    config: &CounterFitConfig,
    gradient: &mut [f32],
    loss: &mut f64,
) -> usize {
    let vector = |word: usize| &vectors[word * relations.dimensions..][..relations.dimensions];
    let u = vector(word);
    gradient.fill(0.0);
    let mut active = 0;
    let mut add = |other: u32, excess: &dyn Fn(f32) -> f32, weight: f32, sign: f32| {
        let v = vector(other as usize);
        let cosine = dot(u, v);
        let excess = excess(1.0 - cosine);
        if excess > 0.0 {
            active += 1;
            *loss += f64::from(weight) * f64::from(excess);
            for ((slope, u), v) in gradient.iter_mut().zip(u).zip(v) {
                *slope += sign * weight * (u * cosine - v);
            }
        }
    };
    for &other in relations.antonyms.of(word) {
        let too_near = |distance| config.antonym_distance - distance;
        add(other, &too_near, config.antonym_weight, -1.0);
    }
    for &other in relations.synonyms.of(word) {
        let too_far = |distance| distance - config.synonym_distance;
        add(other, &too_far, config.synonym_weight, 1.0);
    }
    for (&other, &original) in relations.near.of(word).iter().zip(relations.original(word)) {
        add(
            other,
            &|distance| distance - original,
            config.preservation_weight,
            1.0,
        );
    }
    active
}

#[cfg(test)]
mod tests {
    use super::super::super::WordVectors;
    use super::super::super::constraints::Constraints;
    use super::*;

    const WORDS: usize = 30;
    const DIMENSIONS: usize = 6;

    fn vectors(seed: u64) -> WordVectors {
        let number = |i: usize| {
            (limbeck_ops::mix64(seed * 10_000 + i as u64) >> 40) as f32 / (1 << 23) as f32 - 1.0
        };
        let values = (0..WORDS * DIMENSIONS).map(number).collect();
        let words = (0..WORDS).map(|word| word.to_string()).collect();
        let mut vectors = WordVectors::from_rows(words, DIMENSIONS, values).unwrap();
        vectors.normalise();
        vectors
    }

    /// The objective by its definition, in double precision, with true cosines.
    fn objective(vectors: &[f64], relations: &Relations, config: &CounterFitConfig) -> f64 {
        let row = |word: usize| &vectors[word * DIMENSIONS..][..DIMENSIONS];
        let distance = |a: usize, b: usize| {
            let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
            let (a, b) = (row(a), row(b));
            1.0 - dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
        };
        let mut sum = 0.0;
        for a in 0..WORDS {
            let once = |&&b: &&u32| a < b as usize;
            for &b in relations.antonyms.of(a).iter().filter(once) {
                sum += f64::from(config.antonym_weight)
                    * (f64::from(config.antonym_distance) - distance(a, b as usize)).max(0.0);
            }
            for &b in relations.synonyms.of(a).iter().filter(once) {
                sum += f64::from(config.synonym_weight)
                    * (distance(a, b as usize) - f64::from(config.synonym_distance)).max(0.0);
            }
            for (&b, &original) in relations.near.of(a).iter().zip(relations.original(a)) {
                if a < b as usize {
                    sum += f64::from(config.preservation_weight)
                        * (distance(a, b as usize) - f64::from(original)).max(0.0);
                }
            }
        }
        sum
    }

    #[test]
    fn the_gradient_is_the_slope_of_the_objective() {
        let pair = |a: usize, b: usize| (a.to_string(), b.to_string());
        let constraints = Constraints {
            synonyms: (0..20).map(|i| pair(i, (i * 7 + 3) % WORDS)).collect(),
            antonyms: (0..20).map(|i| pair(i, (i * 11 + 8) % WORDS)).collect(),
        };
        let config = CounterFitConfig {
            antonym_weight: 0.3,
            synonym_weight: 0.2,
            preservation_weight: 0.5,
            antonym_distance: 1.1,
            synonym_distance: 0.4,
            radius: 0.7,
            epochs: 1,
        };
        // Near pairs are those of another space, so that about half of their terms are active.
        let relations = Relations::find(&vectors(1), &constraints, &config, &mut |_| {}).unwrap();
        let vectors = vectors(2);
        let exact: Vec<f64> = vectors.values().iter().map(|&v| f64::from(v)).collect();
        let mut total = 0.0;
        let mut active_words = 0;
        for word in 0..WORDS {
            let mut gradient = vec![0.0; DIMENSIONS];
            let active = word_gradient(
                vectors.values(),
                word,
                &relations,
                &config,
                &mut gradient,
                &mut total,
            );
            active_words += usize::from(active > 1);
            for (place, &slope) in gradient.iter().enumerate() {
                let at = |shift: f64| {
                    let mut moved = exact.clone();
                    moved[word * DIMENSIONS + place] += shift;
                    objective(&moved, &relations, &config)
                };
                let difference = (at(1e-5) - at(-1e-5)) / 2e-5;
                assert!(
                    (f64::from(slope) - difference).abs() < 1e-5,
                    "word {word}, {place}: {slope} and {difference}"
                );
            }
        }
        assert!(active_words > WORDS / 2);
        assert!((total / 2.0 - objective(&exact, &relations, &config)).abs() < 1e-5);
    }
}
