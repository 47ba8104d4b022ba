import Shared

@testable import Coordinator
@testable import Worker

/// Questions about networks: the coordinator asks one after the other, and from the first one again after its death.
extension Simulation {
    func startQuestions(_ questions: SimulatedQuestions) {
        asked = 0
        welcomeQuestions(imageSets: questions.questions[0].imageSets)
        var current = welcome
        current.life = file.lives
        stepper = StepScheduler(welcome: current, policy: stepPolicy, at: now)
    }

    private func welcomeQuestions(imageSets: Int) {
        let work = NetworkWork(imageSets: Array(imageSetBlobs.prefix(imageSets)), normalisation: .standard)
        welcome = CoordinatorMessage.Welcome(
            run: RunID(high: random.next(), low: random.next()), life: 0, work: .networks(work))
    }

    /// Asks the next question where one is answered; returns what there is to do.
    func askOn(_ questions: SimulatedQuestions) throws(SimulationFailure) -> [ClusterAction] {
        guard var stepper, stepper.isDone, !stepper.isOver else { return [] }
        if asked > 0 {
            guard questions.isRight(stepper.answers, to: questions.questions[asked - 1]) else {
                throw failure("question \(asked) has answers that it does not have where nothing goes wrong")
            }
            mark(asked)
        }
        var actions: [ClusterAction] = []
        if asked < questions.questions.count {
            let question = questions.questions[asked]
            if welcome.networks?.imageSets.count != question.imageSets {
                welcomeQuestions(imageSets: question.imageSets)
                var current = welcome
                current.life = file.lives
                note("offers \(question.imageSets) sets of images")
                actions += stepper.changed(current, at: now)
            }
            note("asks question \(asked + 1) about version \(question.version)")
            actions += stepper.began(
                question.tasks, version: question.version, floats: question.network.count,
                refusal: SimulatedQuestions.refusal, at: now)
            asked += 1
        } else {
            report.questions += questions.questions.count
            report.sharesGivenAgain += stepper.figures.released + stepper.figures.copies
            actions = stepper.finished(at: now)
        }
        self.stepper = stepper
        return actions
    }

    /// The question that is being answered.
    var question: SimulatedQuestions.Question? { asked > 0 ? questions?.questions[asked - 1] : nil }
}
