use std::any::Any;
use std::collections::HashMap;
use std::hash::Hash;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;

use limbeck_text::BoxError;

use crate::AttackError;

/// What answers a batch of questions, one answer each.
pub(crate) type Answer<'a, Q, A> = &'a dyn Fn(&[Q]) -> Result<Vec<A>, BoxError>;

/// One asker's questions, and where its answers go.
pub(crate) struct Request<Q, A> {
    pub(crate) questions: Vec<Q>,
    pub(crate) reply: Sender<Result<Vec<A>, BoxError>>,
}

/// A model shared by many threads: a worker answers in one batch whatever has been asked meanwhile.
///
/// While a batch is computed the next one gathers, so batches grow with the number of askers by themselves. Equal questions
/// are asked once. A failed batch is asked again asker by asker, so that a question only fails for its asker.
pub struct Pool<Q, A> {
    requests: Option<Sender<Request<Q, A>>>,
    worker: Option<JoinHandle<()>>,
}

impl<Q, A> Pool<Q, A>
where
    Q: Clone + Eq + Hash + Send + 'static,
    A: Clone + Send + 'static,
{
    /// Starts a worker that answers with `answer`, in batches of at most about `batch` questions.
    pub fn new(
        batch: usize,
        answer: impl Fn(&[Q]) -> Result<Vec<A>, BoxError> + Send + 'static,
    ) -> std::io::Result<Self> {
        let (sender, receiver) = channel();
        let serve = move || {
            while let Some(requests) = gather(&receiver, batch) {
                answer_all(requests, &answer);
            }
        };
        let worker = std::thread::Builder::new()
            .name("pool".into())
            .spawn(serve)?;
        Ok(Self {
            requests: Some(sender),
            worker: Some(worker),
        })
    }

    /// One answer per question, in order; waits for them.
    pub fn ask(&self, questions: Vec<Q>) -> Result<Vec<A>, BoxError> {
        let (reply, answers) = channel();
        let request = Request { questions, reply };
        let requests = self.requests.as_ref().ok_or(AttackError::PoolClosed)?;
        requests
            .send(request)
            .map_err(|_| AttackError::PoolClosed)?;
        answers.recv().map_err(|_| AttackError::PoolClosed)?
    }
}

impl<Q, A> Drop for Pool<Q, A> {
    fn drop(&mut self) {
        self.requests = None;
        if let Some(worker) = self.worker.take() {
            // A panic of the worker was answered to the askers already.
            let _ = worker.join();
        }
    }
}

/// Waits for a request, then takes what else is there, up to `batch` questions; `None` when all askers are gone.
fn gather<Q, A>(receiver: &Receiver<Request<Q, A>>, batch: usize) -> Option<Vec<Request<Q, A>>> {
    let first = receiver.recv().ok()?;
    let mut count = first.questions.len();
    let mut requests = vec![first];
    while count < batch {
        let Ok(next) = receiver.try_recv() else {
            break;
        };
        count += next.questions.len();
        requests.push(next);
    }
    Some(requests)
}

/// Answers all requests in one batch, or one by one where that fails.
pub(crate) fn answer_all<Q: Clone + Eq + Hash, A: Clone>(
    requests: Vec<Request<Q, A>>,
    answer: Answer<'_, Q, A>,
) {
    let mut requests = requests;
    // An asker that stopped waiting does not mind.
    if requests.len() == 1 {
        for request in requests.drain(..) {
            let _ = request
                .reply
                .send(answer_distinct(&[&request], answer).map(single));
        }
        return;
    }
    let all: Vec<&Request<Q, A>> = requests.iter().collect();
    if let Ok(answers) = answer_distinct(&all, answer) {
        for (request, answers) in requests.iter().zip(answers) {
            let _ = request.reply.send(Ok(answers));
        }
        return;
    }
    for request in &requests {
        let _ = request
            .reply
            .send(answer_distinct(&[request], answer).map(single));
    }
}

fn single<A>(mut answers: Vec<Vec<A>>) -> Vec<A> {
    answers.pop().unwrap_or_default()
}

/// The answers of each request; every distinct question is asked once.
fn answer_distinct<Q: Clone + Eq + Hash, A: Clone>(
    requests: &[&Request<Q, A>],
    answer: Answer<'_, Q, A>,
) -> Result<Vec<Vec<A>>, BoxError> {
    let mut places: HashMap<&Q, usize> = HashMap::new();
    let mut distinct = Vec::new();
    for question in requests.iter().flat_map(|request| &request.questions) {
        places.entry(question).or_insert_with(|| {
            distinct.push(question.clone());
            distinct.len() - 1
        });
    }
    let answers = catch_unwind(AssertUnwindSafe(|| answer(&distinct)));
    let answers = answers.map_err(|panic| AttackError::Panicked {
        message: panic_message(&*panic),
    })??;
    if answers.len() != distinct.len() {
        return Err(AttackError::AnswerCount {
            found: answers.len(),
            expected: distinct.len(),
        }
        .into());
    }
    let of = |request: &&Request<Q, A>| {
        let questions = request.questions.iter();
        questions
            .map(|question| answers[places[question]].clone())
            .collect()
    };
    Ok(requests.iter().map(of).collect())
}

/// What a panic said.
pub(crate) fn panic_message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "no message".to_owned())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[test]
    fn every_asker_gets_its_own_answers() {
        let calls = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&calls);
        let pool = Pool::new(64, move |questions: &[u64]| {
            counted.fetch_add(1, Ordering::Relaxed);
            Ok(questions.iter().map(|q| q * q).collect())
        })
        .unwrap();
        std::thread::scope(|scope| {
            for asker in 0..32_u64 {
                let pool = &pool;
                scope.spawn(move || {
                    for round in 0..50 {
                        let questions = vec![asker, round, round];
                        let expected = vec![asker * asker, round * round, round * round];
                        assert_eq!(pool.ask(questions).unwrap(), expected);
                    }
                });
            }
        });
        assert!(calls.load(Ordering::Relaxed) <= 32 * 50);
    }

    #[test]
    fn a_bad_question_fails_for_its_asker_only() {
        let answer = |questions: &[u64]| -> Result<Vec<u64>, BoxError> {
            match questions {
                q if q.contains(&13) => Err("thirteen".into()),
                q if q.contains(&666) => panic!("devilish"),
                q => Ok(q.to_vec()),
            }
        };
        let asked = [vec![1, 2], vec![13], vec![3, 666], vec![2]];
        let (requests, replies): (Vec<_>, Vec<_>) = asked
            .into_iter()
            .map(|questions| {
                let (reply, answers) = channel();
                (Request { questions, reply }, answers)
            })
            .unzip();
        answer_all(requests, &answer);
        let replies: Vec<_> = replies.iter().map(|reply| reply.recv().unwrap()).collect();
        assert_eq!(replies[0].as_ref().unwrap(), &[1, 2]);
        assert_eq!(replies[1].as_ref().unwrap_err().to_string(), "thirteen");
        let error = replies[2].as_ref().unwrap_err().to_string();
        assert!(error.contains("devilish"), "{error}");
        assert_eq!(replies[3].as_ref().unwrap(), &[2]);
    }
}
