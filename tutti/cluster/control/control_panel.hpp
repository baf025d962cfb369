// control_panel: answers Celery's remote control for a worker.
#pragma once
#include <tutti/cluster/app.hpp>
#include <tutti/cluster/control/control_target.hpp>
#include <tutti/cluster/control/event_sender.hpp>

#include <memory>
#include <string>

namespace tutti::cluster {

/// Listens on a thread of its own from construction to destruction; sends worker-online, -heartbeat and -offline too.
/// A command that goes wrong is answered with an error and never ends the panel.
class control_panel {
 public:
  control_panel(app where, std::string hostname, control_target& worker, event_sender& events,
                std::chrono::milliseconds heartbeat);
  ~control_panel();

 private:
  struct impl;
  std::unique_ptr<impl> impl_;
};

}  // namespace tutti::cluster
