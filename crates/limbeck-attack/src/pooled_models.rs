use std::hash::{Hash, Hasher};
use std::sync::Arc;

use limbeck_text::{BoxError, Filling, Gap, MaskedLm, SentenceEmbedder};

use crate::{AttackError, Pool};

/// A sentence embedder that answers the questions of many threads together.
pub struct PooledEmbedder {
    pool: Pool<String, Vec<f32>>,
    name: String,
}

impl PooledEmbedder {
    /// Shares `embedder`; a batch has about `batch` sentences at most.
    pub fn new(embedder: Arc<dyn SentenceEmbedder>, batch: usize) -> Result<Self, AttackError> {
        let name = embedder.name().to_owned();
        let answer = move |sentences: &[String]| {
            let sentences: Vec<&str> = sentences.iter().map(String::as_str).collect();
            embedder.embed(&sentences)
        };
        let pool = Pool::new(batch, answer).map_err(threads(1))?;
        Ok(Self { pool, name })
    }
}

impl SentenceEmbedder for PooledEmbedder {
    fn embed(&self, texts: &[&str]) -> Result<Vec<Vec<f32>>, BoxError> {
        self.pool
            .ask(texts.iter().map(|&text| text.to_owned()).collect())
    }

    fn name(&self) -> &str {
        &self.name
    }
}

/// A masked language model that answers the questions of many threads together.
pub struct PooledMaskedLm {
    pool: Pool<Question, Vec<Filling>>,
    model: Arc<dyn MaskedLm>,
}

/// A gap, and how many tokens are wanted for it.
#[derive(Clone, PartialEq, Eq)]
struct Question {
    before: String,
    after: String,
    second: Option<String>,
    count: usize,
}

impl Question {
    fn gap(&self) -> Gap<'_> {
        Gap {
            before: &self.before,
            after: &self.after,
            second: self.second.as_deref(),
        }
    }
}

impl Hash for Question {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.before.hash(state);
        self.after.hash(state);
        self.count.hash(state);
    }
}

impl PooledMaskedLm {
    /// Shares `model`; a batch has about `batch` gaps at most.
    pub fn new(model: Arc<dyn MaskedLm>, batch: usize) -> Result<Self, AttackError> {
        let shared = Arc::clone(&model);
        let answer = move |questions: &[Question]| {
            let gaps: Vec<Gap<'_>> = questions.iter().map(Question::gap).collect();
            let most = questions.iter().map(|question| question.count).max();
            // The best tokens do not depend on how many are asked for, so one call serves all and is cut afterwards.
            let mut fillings = shared.fill(&gaps, most.unwrap_or(0), &|_| true)?;
            for (fillings, question) in fillings.iter_mut().zip(questions) {
                fillings.truncate(question.count);
            }
            Ok(fillings)
        };
        let pool = Pool::new(batch, answer).map_err(threads(1))?;
        Ok(Self { pool, model })
    }
}

/// Tokens fetched for each one wanted: sub-words and punctuation fall to the filter.
const SURPLUS: usize = 4;

impl MaskedLm for PooledMaskedLm {
    /// The filter cannot travel to the worker, so more tokens are fetched than wanted until enough pass it.
    fn fill(
        &self,
        gaps: &[Gap<'_>],
        count: usize,
        accept: &(dyn Fn(&Filling) -> bool + Sync),
    ) -> Result<Vec<Vec<Filling>>, BoxError> {
        let mut results: Vec<Option<Vec<Filling>>> = vec![None; gaps.len()];
        let mut fetch = count.saturating_mul(SURPLUS);
        loop {
            let open: Vec<usize> = (0..gaps.len()).filter(|&i| results[i].is_none()).collect();
            if open.is_empty() {
                return Ok(results.into_iter().flatten().collect());
            }
            let question = |&index: &usize| Question {
                before: gaps[index].before.to_owned(),
                after: gaps[index].after.to_owned(),
                second: gaps[index].second.map(str::to_owned),
                count: fetch,
            };
            let answers = self.pool.ask(open.iter().map(question).collect())?;
            for (&index, fetched) in open.iter().zip(answers) {
                let is_whole = fetched.len() < fetch;
                let mut kept: Vec<Filling> = fetched.into_iter().filter(accept).collect();
                if kept.len() >= count || is_whole {
                    kept.truncate(count);
                    results[index] = Some(kept);
                }
            }
            fetch = fetch.saturating_mul(SURPLUS);
        }
    }

    fn piece_count(&self, word: &str) -> Result<usize, BoxError> {
        self.model.piece_count(word)
    }

    fn name(&self) -> &str {
        self.model.name()
    }
}

fn threads(threads: usize) -> impl FnOnce(std::io::Error) -> AttackError {
    move |source| AttackError::Threads { threads, source }
}
