"""What Keras users may expect of every cell, tested on every cell in `cases`."""
