import Foundation
import Shared

extension RunSnapshot {
    /// The snapshot in Prometheus' text format, version 0.0.4.
    var prometheusText: String {
        var text = PrometheusText()
        text.gauge(
            "winnow_build_info", "The version of the coordinator; always 1.", 1,
            labels: [("version", Version.number), ("commit", Version.commit ?? "")])
        text.gauge(
            "winnow_run_info", "The run that is served; always 1.", 1,
            labels: [("model", model), ("run_file", runFile), ("phase", phase.rawValue)])
        text.gauge(
            "winnow_run_finished", "1 when the run is done and its report written; visible with --http-linger.",
            phase == .finished ? 1 : 0)
        text.gauge("winnow_run_start_timestamp_seconds", "When this process started or resumed the run.", started)
        text.gauge("winnow_masks", "Masks of the run.", Double(masks))
        text.gauge("winnow_masks_recorded", "Masks whose evaluation is in the run file.", Double(masksRecorded))
        text.gauge("winnow_masks_leased", "Masks that workers have now.", Double(masksLeased))
        text.gauge("winnow_masks_set_aside", "Masks given up because they failed workers.", Double(masksSetAside))
        text.counter(
            "winnow_evaluations_total", "Evaluations recorded by this process.", Double(evaluationsReceived))
        text.counter(
            "winnow_evaluations_repeated_total", "Duplicate evaluations that were dropped.",
            Double(evaluationsRepeated))
        text.counter(
            "winnow_images_total", "Images evaluated, counted once per recorded mask.",
            Double(evaluationsReceived) * Double(imagesPerMask))
        text.counter("winnow_leases_granted_total", "Leases granted to workers.", Double(leasesGranted))
        text.counter(
            "winnow_leases_requeued_total", "Leases that ended without a result: worker lost or deadline passed.",
            Double(leasesRequeued))
        text.gauge("winnow_images_per_second", "The workers' smoothed rate, as on the page.", imagesPerSecond)
        text.gauge("winnow_stalled", "1 while there is no progress, 0 otherwise.", stall == nil ? 0 : 1)
        if let secondsLeft { text.gauge("winnow_time_left_seconds", "Estimated time to the end.", secondsLeft) }
        if let settled = settling.last {
            text.gauge(
                "winnow_ranking_split_half_correlation",
                "Rank correlation of the rankings from two halves of the masks.",
                settled.splitHalfCorrelation)
            if let reliability = settled.reliability {
                text.gauge(
                    "winnow_ranking_reliability", "Expected squared correlation of the ranking with the truth.",
                    reliability)
            }
            if let held = settled.heldOutRSquared {
                text.gauge("winnow_fit_held_out_r_squared", "The fit's R² on held-out masks.", held)
            }
        }
        if let training {
            text.gauge("winnow_training_epochs", "Epochs of the training.", Double(training.epochs))
            text.gauge("winnow_training_epoch", "The current epoch, counted from one.", Double(training.epoch))
            text.gauge("winnow_training_step", "Steps done in this epoch.", Double(training.step))
            text.gauge("winnow_training_steps", "Steps per epoch.", Double(training.steps))
            if let loss = training.loss {
                text.gauge("winnow_training_loss", "Mean loss of this epoch's images so far.", loss)
            }
            if let accuracy = training.history.last?.testAccuracy ?? training.accuracyBefore {
                text.gauge("winnow_training_test_accuracy", "Test accuracy after the last evaluated epoch.", accuracy)
            }
        }
        text.counter(
            "winnow_live_page_loop_cpu_seconds_total", "CPU time of the coordinator's loop for the live page.",
            loopSeconds)
        text.gauge("winnow_workers", "Workers connected now.", Double(workersConnected))
        // Once for the three families: a run may have thousands of workers.
        let rows = workers.map { (worker: $0, labels: PrometheusText.labels(labels(of: $0))) }
        text.family(
            "winnow_worker_evaluations_total", "counter", "Evaluations recorded per worker.",
            rows.map { ($0.labels, Double($0.worker.evaluations)) })
        text.family(
            "winnow_worker_leases", "gauge", "Leases that a worker holds now.",
            rows.map { ($0.labels, Double($0.worker.leases)) })
        text.family(
            "winnow_worker_last_heard_timestamp_seconds", "gauge", "When a worker was last heard.",
            rows.map { ($0.labels, $0.worker.lastHeard) })
        var used = timespec()
        if clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used) == 0 {
            text.counter(
                "process_cpu_seconds_total", "CPU time of the coordinator.",
                Double(used.tv_sec) + Double(used.tv_nsec) / 1e9)
        }
        return text.text
    }

    private func labels(of worker: Worker) -> [(String, String)] {
        [("worker", worker.name), ("host", worker.host), ("instruction_set", worker.instructionSet)]
    }
}

/// Prometheus' text format, written family by family.
private struct PrometheusText {
    private(set) var text = ""

    mutating func gauge(_ name: String, _ help: String, _ value: Double, labels: [(String, String)] = []) {
        family(name, "gauge", help, [(Self.labels(labels), value)])
    }

    mutating func counter(_ name: String, _ help: String, _ value: Double) {
        family(name, "counter", help, [("", value)])
    }

    /// A family's samples, each with its ``labels(_:)`` as text.
    mutating func family(_ name: String, _ type: String, _ help: String, _ samples: [(labels: String, value: Double)]) {
        if samples.isEmpty { return }
        text += "# HELP \(name) \(help)\n# TYPE \(name) \(type)\n"
        for sample in samples {
            text += name
            text += sample.labels
            text += " "
            text += format(sample.value)
            text += "\n"
        }
    }

    /// Labels in the form that follows a sample's name; empty if there are none.
    static func labels(_ labels: [(String, String)]) -> String {
        if labels.isEmpty { return "" }
        var text = "{"
        for (name, value) in labels {
            if text.utf8.count > 1 { text += "," }
            text += name
            text += "=\""
            text += escaped(value)
            text += "\""
        }
        return text + "}"
    }

    private static func escaped(_ value: String) -> String {
        func isSpecial(_ unit: UInt8) -> Bool {
            unit == UInt8(ascii: "\\") || unit == UInt8(ascii: "\"") || unit == UInt8(ascii: "\n")
        }
        if !value.utf8.contains(where: isSpecial) { return value }
        var result = ""
        for scalar in value.unicodeScalars {
            switch scalar {
            case "\\": result += "\\\\"
            case "\"": result += "\\\""
            case "\n": result += "\\n"
            default: result.unicodeScalars.append(scalar)
            }
        }
        return result
    }

    private func format(_ value: Double) -> String {
        if value.isNaN { return "NaN" }
        if value.isInfinite { return value < 0 ? "-Inf" : "+Inf" }
        return value == value.rounded() && abs(value) < 1e15 ? String(Int64(value)) : String(value)
    }
}
