"""What an evaluation will cost: seconds and bytes from the shape of a checkpoint, the calls it takes and the rates of a device.

Arithmetic alone: nothing here loads a model, looks at a device or reads a file. `shapes` says what a checkpoint is, `limits` how much
enters it at once, `calls` what a piece of work is, `rates` how long it takes, `memory` what it holds at its peak, `devices` what is known of
devices that are not here.
"""
