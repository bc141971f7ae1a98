//! Several labs at a time: most of a lab's time is spent waiting for the kernel.

use std::panic::resume_unwind;
use std::sync::Arc;

use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::job::{Job, JobResults};
use crate::error::{Error, Result};
use crate::lab::Token;

/// A limit on the number of labs at a time; there are fewer if other runs on the machine use the rest.
pub struct LabPool {
    permits: Arc<Semaphore>,
}

impl LabPool {
    /// At most `labs` at a time, but one at least.
    pub fn new(labs: usize) -> LabPool {
        LabPool { permits: Arc::new(Semaphore::new(labs.max(1))) }
    }

    /// Does `work` with every item, each on a thread of its own, and returns the results in their order.
    ///
    /// # Errors
    ///
    /// If several items fail, the error of the first item, whichever failed first, so that the same items give the same
    /// message.
    pub async fn map<T, R, W>(&self, items: Vec<T>, work: W) -> Result<Vec<R>>
    where
        T: Send + 'static,
        R: Send + 'static,
        W: Fn(T) -> Result<R> + Send + Sync + 'static,
    {
        self.map_each(items, work).await.into_iter().collect()
    }

    /// Does `work` as [`LabPool::map`] does, and returns the result or the error of each item.
    async fn map_each<T, R, W>(&self, items: Vec<T>, work: W) -> Vec<Result<R>>
    where
        T: Send + 'static,
        R: Send + 'static,
        W: Fn(T) -> Result<R> + Send + Sync + 'static,
    {
        let work = Arc::new(work);
        let mut labs = JoinSet::new();
        let count = items.len();
        for (number, item) in items.into_iter().enumerate() {
            let (work, permits) = (Arc::clone(&work), Arc::clone(&self.permits));
            labs.spawn(async move {
                let _permit = permits.acquire_owned().await.expect("the semaphore is never closed");
                let token = Token::take().await;
                let done = tokio::task::spawn_blocking(move || {
                    let _token = token;
                    work(item)
                });
                (number, done.await.unwrap_or_else(|panic| resume_unwind(panic.into_panic())))
            });
        }
        let mut results: Vec<Option<Result<R>>> = std::iter::repeat_with(|| None).take(count).collect();
        while let Some(finished) = labs.join_next().await {
            let (number, result) = finished.unwrap_or_else(|panic| resume_unwind(panic.into_panic()));
            results[number] = Some(result);
        }
        results.into_iter().map(|result| result.expect("every item was done")).collect()
    }

    /// Does every task of the job.
    pub async fn perform_one(&self, job: &Arc<Job>) -> Result<JobResults> {
        self.perform(std::slice::from_ref(job)).await?.remove(0)
    }

    /// Does every task of every job, each in a lab of its own, and returns the results of each job, in the order of the
    /// jobs; for a job with bad input, the first of its errors. When the future is dropped, no further lab is begun.
    ///
    /// # Errors
    ///
    /// If a lab cannot measure.
    pub async fn perform(&self, jobs: &[Arc<Job>]) -> Result<Vec<Result<JobResults>>> {
        let numbered = jobs.iter().enumerate();
        let tasks: Vec<_> = numbered
            .flat_map(|(number, job)| job.tasks().into_iter().map(move |task| (number, Arc::clone(job), task)))
            .collect();
        let places: Vec<_> = tasks.iter().map(|(number, _, task)| (*number, *task)).collect();
        let of_tasks = self.map_each(tasks, |(_, job, task)| job.perform(task)).await;
        let mut found: Vec<Result<JobResults>> = jobs.iter().map(|_| Ok(JobResults::default())).collect();
        for ((number, task), of_task) in places.into_iter().zip(of_tasks) {
            match (&mut found[number], of_task) {
                (_, Err(error @ Error::CannotMeasure(_))) => return Err(error),
                (Ok(results), Ok(of_task)) => drop(results.0.insert(task, of_task)),
                (of_job @ Ok(_), Err(error)) => *of_job = Err(error),
                (Err(_), _) => {}
            }
        }
        Ok(found)
    }
}
