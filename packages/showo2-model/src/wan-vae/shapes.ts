import type { WanVaeConfig } from './config';
import { type CoderPlan, decoderPlan, encoderPlan } from './plan';

/** Name and shape of every parameter of a WanVAE, in upstream's names and layout. */
export function vaeParamShapes(config: WanVaeConfig): Record<string, number[]> {
  const shapes: Record<string, number[]> = {};
  const conv = (name: string, outputs: number, inputs: number, kernel: number[]) => {
    shapes[`${name}.weight`] = [outputs, inputs, ...kernel];
    shapes[`${name}.bias`] = [outputs];
  };
  const coder = (plan: CoderPlan, inputs: number, outputs: number) => {
    conv(`${plan.name}.conv1`, plan.first, inputs, [3, 3, 3]);
    for (const stage of plan.stages) {
      const { name } = stage;
      if (stage.kind === 'residual') {
        shapes[`${name}.residual.0.gamma`] = [stage.inputs, 1, 1, 1];
        conv(`${name}.residual.2`, stage.outputs, stage.inputs, [3, 3, 3]);
        shapes[`${name}.residual.3.gamma`] = [stage.outputs, 1, 1, 1];
        conv(`${name}.residual.6`, stage.outputs, stage.outputs, [3, 3, 3]);
        if (stage.inputs !== stage.outputs) conv(`${name}.shortcut`, stage.outputs, stage.inputs, [1, 1, 1]);
      } else if (stage.kind === 'attention') {
        shapes[`${name}.norm.gamma`] = [stage.channels, 1, 1];
        conv(`${name}.to_qkv`, 3 * stage.channels, stage.channels, [1, 1]);
        conv(`${name}.proj`, stage.channels, stage.channels, [1, 1]);
      } else {
        const up = stage.kind === 'upsample';
        conv(`${name}.resample.1`, up ? stage.channels / 2 : stage.channels, stage.channels, [3, 3]);
        if (stage.temporal)
          conv(`${name}.time_conv`, up ? 2 * stage.channels : stage.channels, stage.channels, [3, 1, 1]);
      }
    }
    shapes[`${plan.name}.head.0.gamma`] = [plan.last, 1, 1, 1];
    conv(`${plan.name}.head.2`, outputs, plan.last, [3, 3, 3]);
  };
  const z = config.latentChannels;
  coder(encoderPlan(config), 3, 2 * z);
  conv('conv1', 2 * z, 2 * z, [1, 1, 1]);
  conv('conv2', z, z, [1, 1, 1]);
  coder(decoderPlan(config), z, 3);
  return shapes;
}
