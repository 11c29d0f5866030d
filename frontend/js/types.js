/**
 * What the server's API speaks of, as far as the page reads it.
 *
 * @typedef {"image" | "t2v" | "i2v"} ModelType
 * @typedef {"sending" | "unsent" | "pending" | "processing" | "completed" | "failed" | "cancelled"} JobState
 *   The first two are the page's own: on its way to the server, and not received there.
 *
 * @typedef {object} Range
 * @property {number} min
 * @property {number} max
 * @property {number} [step]
 * @property {number} default
 *
 * @typedef {object} StepConfig
 * @property {Range} guidance
 * @property {Range} width
 * @property {Range} height
 * @property {number} max_pixels
 * @property {Range} num_images
 * @property {number} prompt_length
 * @property {Range} [steps]
 * @property {number} [fixed_steps]
 * @property {Range} [frames]
 * @property {Range} [fps]
 *
 * @typedef {object} Model
 * @property {string} name
 * @property {ModelType} type
 * @property {string} family
 * @property {string} description
 * @property {string[]} example_prompts
 * @property {StepConfig} step_config
 * @property {boolean} supports_negative_prompt
 * @property {string} default_negative_prompt
 * @property {boolean} loaded
 * @property {boolean} available
 * @property {string | null} reason
 * @property {boolean} demo
 * @property {number | null} memory_gb
 *
 * @typedef {object} Settings
 * @property {number} [width]
 * @property {number} [height]
 * @property {number} [num_inference_steps]
 * @property {number} [guidance_scale]
 * @property {number} [seed]
 * @property {number} [num_images]
 * @property {number} [num_frames]
 * @property {number} [fps]
 * @property {string} [source_image_id]
 *
 * @typedef {object} Progress
 * @property {boolean} preparing
 * @property {boolean} loading_model
 * @property {boolean} generating
 * @property {boolean} saving
 * @property {number | null} step
 * @property {number | null} total_steps
 * @property {number} percent
 * @property {number | null} preview counts up with each new preview
 *
 * @typedef {object} JobError
 * @property {string} code
 * @property {string} message
 * @property {string | null} hint
 *
 * @typedef {object} Job
 * @property {string} id
 * @property {JobState} status
 * @property {ModelType} type
 * @property {string} model_id
 * @property {string} prompt
 * @property {string} negative_prompt
 * @property {Settings} settings
 * @property {string} created_at
 * @property {string | null} started_at
 * @property {string | null} completed_at
 * @property {string} message
 * @property {JobError | null} error
 * @property {number | null} queue_position
 * @property {number | null} eta_seconds
 * @property {number} attempts
 * @property {Waiting | null} [waiting]
 * @property {number} priority
 * @property {number | null} [run_seconds] of the call that made it
 * @property {number | null} [batch_size] jobs that shared that call
 * @property {Progress} progress
 * @property {Medium[]} images
 *
 * @typedef {object} Medium  A picture or a clip, from a job or from the gallery.
 * @property {string} id
 * @property {string} [job_id]
 * @property {"image" | "video"} media_type
 * @property {number} width
 * @property {number} height
 * @property {string} created_at
 * @property {boolean} favorite
 * @property {string[]} [tags] in the gallery
 * @property {Metadata} metadata
 *
 * @typedef {object} Metadata  How a file was made.
 * @property {string} [model_id]
 * @property {string} [prompt]
 * @property {string} [negative_prompt]
 * @property {Settings} [settings]
 * @property {number} [seed]
 * @property {"image" | "video"} [type]
 * @property {number} [generation_time]
 * @property {number} [fps]
 * @property {number} [duration_seconds]
 * @property {number} [frame_count]
 * @property {string} [source_image_id]
 *
 * @typedef {object} Waiting  Why a job waits, and for how many seconds.
 * @property {string | null} [reason]
 * @property {string | null} [message]
 * @property {number | null} [eta_start_seconds]
 *
 * @typedef {Waiting & {id: string, model_id: string, position: number, eta_seconds?: number | null}} WaitingJob
 *
 * @typedef {object} Deployment
 * @property {number} replicas
 * @property {number} starting
 * @property {number} running_jobs
 * @property {string} state
 * @property {string} message
 * @property {string | null} loaded_model
 * @property {number | null} idle_seconds
 * @property {{kind: "gpu" | "main", used_gb: number, total_gb: number} | null} memory
 *
 * @typedef {object} Queue
 * @property {number} pending
 * @property {number} processing
 * @property {number} completed
 * @property {number} failed
 * @property {number} cancelled
 * @property {boolean} paused
 * @property {WaitingJob[]} [waiting]
 * @property {Record<string, Deployment>} [deployments]
 * @property {{total: number | null, used: number | null}} [gpus]
 * @property {number} [avg_processing_time_seconds]
 * @property {Record<string, number>} [recent_24h]
 * @property {string | null} [dashboard_url]
 *
 * @typedef {object} GalleryQuery
 * @property {string} search
 * @property {string} model
 * @property {string} type
 * @property {boolean | null} favorite null for both
 * @property {string[]} tags all of which a medium must have
 * @property {string} from the first day, as YYYY-MM-DD; "" for no limit
 * @property {string} to the last day
 *
 * @typedef {object} GalleryPage
 * @property {Medium[]} media
 * @property {number} total
 */
export {};
