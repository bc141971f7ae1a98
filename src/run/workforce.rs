//! Several labs at a time: most of a lab's time is spent waiting for the kernel.

use std::panic::resume_unwind;
use std::sync::Arc;

use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::job::{Found, Job, Task};
use crate::error::{Error, Result};

/// So many labs stand at a time, and no more.
pub struct Workforce {
    permits: Arc<Semaphore>,
}

impl Workforce {
    /// At most `labs` at a time, but one at least.
    pub fn new(labs: usize) -> Workforce {
        Workforce { permits: Arc::new(Semaphore::new(labs.max(1))) }
    }

    /// Does every task of every job, each in a lab of its own, and tells what each job found, in the order of the jobs.
    /// When the future is dropped, no further lab is begun.
    ///
    /// # Errors
    /// Of several failures the first job's is told, whichever came first: the same run, the same words.
    pub async fn perform(&self, jobs: &[Arc<Job>]) -> Result<Vec<Found>> {
        let mut labs = self.begin(jobs);
        let mut found: Vec<Found> = jobs.iter().map(|_| Found::default()).collect();
        let mut failure: Option<(usize, Error)> = None;
        while let Some(finished) = labs.join_next().await {
            match finished.unwrap_or_else(|panic| resume_unwind(panic.into_panic())) {
                (number, Ok((task, of_task))) => drop(found[number].0.insert(task, of_task)),
                (number, Err(error)) if failure.as_ref().is_none_or(|(first, _)| number < *first) => {
                    failure = Some((number, error));
                }
                (_, Err(_)) => {}
            }
        }
        failure.map_or(Ok(found), |(_, error)| Err(error))
    }

    fn begin(&self, jobs: &[Arc<Job>]) -> JoinSet<(usize, Result<(Task, super::job::OfTask)>)> {
        let mut labs = JoinSet::new();
        for (number, job) in jobs.iter().enumerate() {
            for task in job.tasks() {
                let (job, permits) = (Arc::clone(job), Arc::clone(&self.permits));
                labs.spawn(async move {
                    let _permit = permits.acquire_owned().await.expect("the semaphore is never closed");
                    let found = tokio::task::spawn_blocking(move || job.perform(task).map(|found| (task, found)));
                    (number, found.await.unwrap_or_else(|panic| resume_unwind(panic.into_panic())))
                });
            }
        }
        labs
    }
}
